"""Everything spelled out: one number at a time, rounding and clipping by hand."""


def symmetric_scale(largest, bits=8):
    largest = np.array(largest, dtype=np.float32)
    scale = np.ones(largest.shape, np.float32)
    for at in np.ndindex(largest.shape):
        if largest[at] >= TINY:
            scale[at] = largest[at] / largest_code(bits)
    return scale


def affine_grid(low, high, bits=8):
    if low > 0:
        low = 0.0
    if high < 0:
        high = 0.0
    if high - low < TINY:
        return np.float32(1.0), np.int32(0)
    scale = (high - low) / (2**bits - 1)
    lowest = -(2 ** (bits - 1))
    zero = int(np.rint(-low / scale)) + lowest
    if zero < lowest:
        zero = lowest
    if zero > lowest + 2**bits - 1:
        zero = lowest + 2**bits - 1
    return np.float32(scale), np.int32(zero)


class Quantize:
    def forward(self, x, scale, zero=None):
        zeros = np.zeros(x.shape, np.int64)
        if zero is not None:
            zeros = np.broadcast_to(zero, x.shape)
        scales = np.broadcast_to(scale, x.shape)
        out = np.empty(x.shape, np.int8)
        for at in np.ndindex(x.shape):
            number = float(x[at] / scales[at])
            if number != number:
                out[at] = zeros[at]
                continue
            if abs(number) < 1000:
                number = round(number)
            code = number + int(zeros[at])
            if code < self.low:
                code = self.low
            if code > self.high:
                code = self.high
            out[at] = int(code)
        return out


def numbers_of(codes, scale, zero=0):
    steps = codes.astype(np.float64) - np.asarray(zero, np.float64)
    return np.asarray(steps * scale, np.float32)


def channel_scales(w, bits=8):
    largest = np.zeros(len(w), np.float32)
    for i, channel in enumerate(w):
        for number in channel.reshape(-1):
            largest[i] = max(largest[i], abs(number))
    return symmetric_scale(largest, bits)


class IntMatMul:
    def forward(self, x, w):
        out = np.zeros(x.shape[:-1] + (w.shape[0],), np.int32)
        wide = x.astype(np.int32)
        for j in range(w.shape[0]):
            out[..., j] = (wide * w[j].astype(np.int32)).sum(-1)
        return out


def percentile_range(values, low, high, percent=PERCENT):
    ordered = np.sort(values.astype(np.float64))

    def at(share):
        place = share * (len(ordered) - 1)
        left = int(place)
        right = min(left + 1, len(ordered) - 1)
        return float(ordered[left] * (1 - (place - left)) + ordered[right] * (place - left))

    rest = (1 - percent / 100) / 2
    return at(rest), at(1 - rest)


def mse_range(values, low, high, steps=80):
    tried = []
    for step in range(1, steps + 1):
        bottom, top = low * step / steps, high * step / steps
        scale, zero = affine_grid(bottom, top)
        codes = np.rint(values / scale) + zero
        codes[codes < -128] = -128
        codes[codes > 127] = 127
        errors = values.astype(np.float64) - numbers_of(codes, scale, zero)
        tried.append((float((errors**2).sum() / len(values)), -step, bottom, top))
    _, _, bottom, top = min(tried)
    return bottom, top


class FakeQuantize:
    def forward(self, x, scale, zero):
        code = np.rint(x / scale) + zero.astype(x.dtype)
        code[code < self.low] = self.low
        code[code > self.high] = self.high
        return (code - zero.astype(x.dtype)) * scale

    def vjp(self, g, out, x, scale, zero):
        shift = zero.to(x.dtype)
        lowest = (self.low - 0.5 - shift) * scale
        highest = (self.high + 0.5 - shift) * scale
        gradient = where(x < lowest, 0.0, g)
        gradient = where(x > highest, 0.0, gradient)
        return gradient, None, None


def group_scales(w, size, bits=4):
    rows = []
    for row in w:
        runs = []
        for start in range(0, len(row), size):
            runs.append(abs(row[start : start + size]).max())
        rows.append(runs)
    return symmetric_scale(np.array(rows), bits)


def group_codes(w, scales, bits=4):
    codes = np.empty(w.shape, np.int8)
    size = w.shape[1] // scales.shape[1]
    most = largest_code(bits)
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            code = round(float(w[i, j] / scales[i, j // size]))
            codes[i, j] = max(-most, min(most, code))
    return codes
