"""Plain loops, and everything spelled out."""


class RunningMean:
    def add(self, figure, weight=1.0):
        self.weight = self.weight + weight
        self.total = self.total + weight * figure

    def value(self):
        if self.weight == 0:
            return float("nan")
        return self.total / self.weight


class Accuracy:
    def update(self, output, target, loss, count):
        guesses = output.numpy().argmax(axis=-1).ravel().tolist()
        hits = number = 0
        for guess, right in zip(guesses, target.numpy().ravel().tolist()):
            if right == self.ignore_index:
                continue
            number += 1
            hits += guess == right
        if number > 0:
            self.mean.add(hits / number, weight=number)


class Perplexity:
    def value(self):
        loss = self.mean.value()
        if loss > 700:
            return float("inf")
        return math.e**loss if math.isfinite(loss) else loss


def evaluating(model):
    before = {}
    for module in model.modules():
        before[id(module)] = module.training
    try:
        model.eval()
        yield
    finally:
        for module in model.modules():
            module.training = before[id(module)]


def evaluate(model, loader, loss, metrics=()):
    total, samples = 0.0, 0
    for metric in metrics:
        metric.reset()
    with no_grad():
        with evaluating(model):
            for batch in loader:
                count = count_of(batch)
                *inputs, target = batch
                output = model(*inputs)
                value = loss(output, target).item()
                total += value * count
                samples += count
                for metric in metrics:
                    metric.update(output, target, value, count)
    if samples == 0:
        raise DataError("evaluate: no batches")
    found = {"loss": total / samples}
    for metric in metrics:
        found[metric.name] = metric.value()
    return found


def forward_backward(model, loss, batch, share=1.0):
    *inputs, target = batch
    output = model(*inputs)
    whole = loss(output, target)
    value = whole.item()
    if not math.isfinite(value):
        return output, value
    (whole * share).backward()
    return output, value


class Trainer:
    def step(self, batches):
        total = 0
        for batch in batches:
            total += count_of(batch)
        if self.schedule:
            self.schedule.at(self.progress.step)
        self.optimizer.zero_grad()
        summed = 0.0
        for batch in batches:
            summed += count_of(batch) * self._backward(batch, count_of(batch) / total)
        if self.clip:
            self._clip()
        self.optimizer.step()
        return summed / total

    def keep_if_best(self, figure):
        if figure != figure:
            return False
        best = self.progress.best
        if best is None:
            better = True
        elif self.higher_is_better:
            better = figure > best
        else:
            better = figure < best
        if better:
            self.progress.best = figure
            copies = {}
            for name, array in tensors_of(self.model).items():
                copies[name] = array.copy()
            self.progress.best_weights = copies
        return better


def write_whole(path, content):
    import tempfile

    path = Path(path)
    try:
        os.makedirs(path.parent, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
    except OSError as error:
        raise CheckpointError(f"{path}: {error}") from error


class Parts:
    def tensors(self, best_weights):
        found = {}
        for name, generator in self.generators.items():
            found["generator." + name] = generator.state.numpy()
        for key, value in self.optimizer.state_dict().items():
            if isinstance(value, Tensor):
                found["optimizer." + key] = value.numpy()
        for name in best_weights:
            found["best." + name] = best_weights[name]
        for name, array in tensors_of(self.model).items():
            found["model." + name] = array
        return found


def sections(tensors):
    found = {"model": {}, "best": {}, "optimizer": {}, "generator": {}}
    for key in tensors:
        parts = key.split(".")
        if parts[0] not in found:
            raise CheckpointError("no section has " + key)
        found[parts[0]][".".join(parts[1:])] = tensors[key]
    return found
