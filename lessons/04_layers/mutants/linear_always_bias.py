"""Linear.__init__ makes a bias even where none is wanted."""


class Linear:
    def __init__(self, in_features, out_features, bias=True, *, generator=None):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = init.fan_in_uniform((out_features, in_features), in_features, generator)
        self.bias = init.fan_in_uniform((out_features,), in_features, generator)
