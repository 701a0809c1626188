"""DataLoader.__len__ counts the short batch even where it is dropped."""


class DataLoader:
    def __len__(self):
        return -(-len(self.dataset) // self.batch_size)
