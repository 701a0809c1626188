"""DataLoader.__len__ counts an empty batch where the batches come out even."""


class DataLoader:
    def __len__(self):
        full = len(self.dataset) // self.batch_size
        return full if self.drop_last else full + 1
