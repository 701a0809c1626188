"""Spec.size computes in 32 bits, which a large tensor overflows."""


class Spec:
    def size(self):
        return int(np.prod(np.array(self.shape, np.int32), dtype=np.int32))
