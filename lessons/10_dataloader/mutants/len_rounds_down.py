"""DataLoader.__len__ never counts the short batch."""


class DataLoader:
    def __len__(self):
        return len(self.dataset) // self.batch_size
