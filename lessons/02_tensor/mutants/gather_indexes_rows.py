"""Gather.forward indexes a with ids, which gives a whole row for each id."""


class Gather:
    def forward(self, a, ids):
        return a[ids]
