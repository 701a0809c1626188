"""The same by other means: comprehensions, running updates, contextlib, backward with a given gradient."""


class RunningMean:
    def add(self, figure, weight=1.0):
        self.total, self.weight = self.total + figure * weight, self.weight + weight

    def value(self):
        try:
            return self.total / self.weight
        except ZeroDivisionError:
            return math.nan


class Accuracy:
    def update(self, output, target, loss, count):
        right = target.data
        chosen = right != self.ignore_index
        hits = output.data.argmax(-1)[chosen] == right[chosen]
        if hits.size:
            self.mean.add(float(hits.mean()), hits.size)


class Perplexity:
    def value(self):
        loss = self.mean.value()
        return math.inf if loss > 700 else math.exp(loss)


def evaluating(model):
    with contextlib.ExitStack() as stack:
        for module in model.modules():
            stack.callback(setattr, module, "training", module.training)
        model.train(False)
        yield


def evaluate(model, loader, loss, metrics=()):
    figures = []
    for metric in metrics:
        metric.reset()
    with evaluating(model), no_grad():
        for batch in loader:
            output = model(*batch[:-1]) if count_of(batch) else None
            figures.append((float(loss(output, batch[-1])), count_of(batch)))
            for metric in metrics:
                metric.update(output, batch[-1], *figures[-1])
    if not figures:
        raise DataError("evaluate: no batches")
    whole = sum(count for _, count in figures)
    mean = math.fsum(value * count for value, count in figures) / whole
    return dict([("loss", mean), *((metric.name, metric.value()) for metric in metrics)])


def forward_backward(model, loss, batch, share=1.0):
    output = model(*batch[:-1])
    result = loss(output, batch[-1])
    value = float(result)
    if value - value == 0:
        result.backward(Tensor(share, result.dtype))
    return output, value


class Trainer:
    def step(self, batches):
        counts = list(map(count_of, batches))
        shares = [count / sum(counts) for count in counts]
        self.optimizer.zero_grad()
        mean = sum(s * self._backward(b, s) for b, s in zip(batches, shares))
        if self.clip is not None:
            self._clip()
        if self.schedule is not None:
            self.schedule.at(self.progress.step)
        self.optimizer.step()
        return mean

    def keep_if_best(self, figure):
        at = self.progress
        sign = -1 if self.higher_is_better else 1
        best = math.inf if at.best is None else sign * at.best
        if not sign * figure < best:
            return False
        at.best, at.best_weights = figure, {n: a + 0 for n, a in tensors_of(self.model).items()}
        return True


def write_whole(path, content):
    target = Path(path)
    part = target.parent / (target.name + ".tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = open(part, "wb")
        try:
            with file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CheckpointError(f"{target}: {error}") from error


class Parts:
    def tensors(self, best_weights):
        state = {k: v.data for k, v in self.optimizer.state_dict().items() if isinstance(v, Tensor)}
        draws = {k: g.state.data for k, g in self.generators.items()}
        all_sections = zip(SECTIONS, (tensors_of(self.model), best_weights, state, draws))
        return {f"{section}.{k}": v for section, arrays in all_sections for k, v in arrays.items()}


def sections(tensors):
    strangers = [key for key in tensors if key.split(".", 1)[0] not in SECTIONS]
    if strangers:
        raise CheckpointError(f"unexpected entries {strangers}")
    cut = [(*key.split(".", 1), array) for key, array in tensors.items()]
    return {name: {key: array for section, key, array in cut if section == name} for name in SECTIONS}
