"""The loop that writes a text, and a draft's tokens that a large model checks."""

import numpy as np
import pytest
from helpers import Script, as_often, quiet, shares

from tinytorch.autograd import no_grad
from tinytorch.caching.decoder import Decoder
from tinytorch.caching.generate import Bytes, Run, generate
from tinytorch.caching.sampling import Sampling
from tinytorch.caching.speculative import accept
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.models import GPT
from tinytorch.models.llama import Llama
from tinytorch.tensor import Tensor

GREEDY = Sampling(temperature=0)

# ---------------------------------------------------------------- Run.plain


def run_of(script, prompts, limit, sampling=GREEDY, seed=0, ends=(), stops=(), stream=None, logprobs=False):
    """One call of `generate` on a script."""
    return Run(script, prompts, limit, sampling, seed, list(stops), stream, Bytes(), ends, logprobs)


def told(script, prompt, limit, sampling=GREEDY, seed=0, ends=()):
    """The tokens that follow a prompt, each drawn from the logits of the whole text before it."""
    rng, text, found = np.random.default_rng(seed), list(prompt), []
    while len(found) < limit:
        token = sampling.draw(script.logits(text), rng)
        if token in ends:
            break
        found.append(token)
        text.append(token)
    return found


@exercise("Run.plain")
@pytest.mark.parametrize("limit", [1, 2, 7])
def test_each_token_is_the_likeliest_after_all_before_it(rng, limit):
    script = Script(9, seed=int(rng.integers(1000)))
    run = run_of(script, [[3, 1, 4]], limit)
    expect.value("run.plain()", run=run)
    got = run.found[0].ids
    expect.equal("got", told(script, [3, 1, 4], limit), got=got)
    finish = run.found[0].finish
    expect.equal("finish", "length", finish=finish)


@exercise("Run.plain")
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.6, top_k=4), Sampling(1.3, top_p=0.8)])
def test_each_token_is_drawn_from_the_logits_behind_the_one_before(rng, sampling):
    script = Script(12, seed=int(rng.integers(1000)))
    run = run_of(script, [[5]], 8, sampling, seed=3)
    expect.value("run.plain()", run=run)
    got = run.found[0].ids
    expect.equal("got", told(script, [5], 8, sampling, 3), got=got)


@exercise("Run.plain")
def test_each_token_is_fed_once_and_the_last_not_at_all(rng):
    script = Script(9, seed=int(rng.integers(1000)))
    run = run_of(script, [[3, 1]], 6)
    expect.value("run.plain()", run=run)
    fed, ids = script.fed, run.found[0].ids
    expect.equal("fed", [[[token]] for token in ids[:-1]], fed=fed)


@exercise("Run.plain")
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(1.2)])
def test_sequences_of_a_batch_are_what_they_are_alone(rng, sampling):
    script = Script(9, seed=int(rng.integers(1000)))
    prompts = [[1, 2, 3], [4], [5, 6]]
    run = run_of(script, prompts, 5, sampling, seed=20)
    expect.value("run.plain()", run=run)
    want = [told(script, prompt, 5, sampling, 20 + b) for b, prompt in enumerate(prompts)]
    got = [found.ids for found in run.found]
    expect.equal("got", want, got=got)
    count = len(script.fed)
    expect.equal("count", 4, count=count)


@exercise("Run.plain")
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(1.5)])
def test_one_ends_and_the_others_go_on(rng, sampling):
    for seed in range(5):
        script, prompts, ends = Script(6, seed=int(rng.integers(1000))), [[1], [2, 2], [3], [4]], (0, 5)
        run = run_of(script, prompts, 9, sampling, seed, ends)
        expect.value("run.plain()", run=run)
        want = [told(script, prompt, 9, sampling, seed + b, ends) for b, prompt in enumerate(prompts)]
        got = [found.ids for found in run.found]
        expect.equal("got", want, got=got)
        finish = [found.finish for found in run.found]
        expect.equal("finish", ["length" if len(ids) == 9 else "end" for ids in want], finish=finish)
        count = len(script.fed)
        longest = max(min(len(ids), 8) for ids in want)
        expect.equal("count", longest, count=count)


@exercise("Run.plain")
def test_it_ends_at_a_stop_string(rng):
    script = Script(9, seed=int(rng.integers(1000)))
    ids = told(script, [7], 9)
    stop = bytes(ids[3:5]).decode()
    end = bytes(ids).find(stop.encode())
    run = run_of(script, [[7]], 9, stops=[stop])
    expect.value("run.plain()", run=run)
    found = run.finished()[0]
    got = found.ids, found.text, found.finish
    expect.equal("got", (ids[: end + 2], bytes(ids[:end]).decode(), "stop"), got=got)
    count = len(script.fed)
    expect.equal("count", end + 1, count=count)


@exercise("Run.plain")
@pytest.mark.parametrize(("capacity", "tokens"), [(3, 1), (4, 2), (8, 6)])
def test_it_ends_where_the_room_does(rng, capacity, tokens):
    script = Script(9, capacity, seed=int(rng.integers(1000)))
    run = run_of(script, [[3, 1, 4], [2]], 50)
    expect.value("run.plain()", run=run)
    got = [found.ids for found in run.found]
    want = [told(script, prompt, tokens) for prompt in ([3, 1, 4], [2])]
    expect.equal("got", want, got=got)
    finish = [found.finish for found in run.found]
    expect.equal("finish", ["length", "length"], finish=finish)


@exercise("Run.plain")
def test_no_token_is_wanted():
    script = Script(9)
    run = run_of(script, [[3, 1, 4]], 0)
    expect.value("run.plain()", run=run)
    got, fed = run.found[0].ids, script.fed
    expect.equal("got", [], got=got)
    expect.equal("fed", [], fed=fed)


@exercise("Run.plain")
def test_logits_go_with_their_token(rng):
    script = Script(9, seed=int(rng.integers(1000)))
    run = run_of(script, [[3], [4, 4]], 4, Sampling(), 1, logprobs=True)
    expect.value("run.plain()", run=run)
    for found in run.found:
        text, want = list(found.prompt_ids), []
        for token in found.ids:
            want.append(np.log(shares(script.logits(text))[token]))
            text.append(token)
        got = found.logprobs
        expect.close("got", want, 1e-6, 1e-9, got=got)


@exercise("Run.plain")
def test_pieces_come_as_they_are_made(rng):
    script, pieces = Script(9, seed=int(rng.integers(1000))), []
    run = run_of(script, [[3]], 4, stream=lambda piece: pieces.append((piece, len(script.fed))))
    expect.value("run.plain()", run=run)
    want = [(chr(token), i) for i, token in enumerate(told(script, [3], 4))]
    expect.equal("pieces", want, pieces=pieces)


def lively(model, rng):
    """The model with weights large enough for texts that do not repeat themselves."""
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.assign_((0.4 * rng.normal(size=parameter.shape)).astype(np.float32))
    return model.eval()


def uncached(model, prompt, count):
    """The likeliest tokens behind a prompt, the whole text read again for each."""
    text = list(prompt)
    with no_grad():
        for _ in range(count):
            text.append(int(model(Tensor([text])).numpy()[0, -1].argmax()))
    return text[len(prompt) :]


@exercise("Run.plain")
@pytest.mark.parametrize("kind", ["gpt", "llama"])
def test_a_model_with_a_cache_writes_what_it_writes_without(rng, kind):
    if kind == "gpt":
        model, prompts = GPT(256, 24, 16, layers=2, heads=2), [[1, 2, 3, 4, 5], [7, 8, 9, 7, 8], [200] * 5]
    else:
        model, prompts = Llama(256, 24, 16, 2, 4, 2, 24), [[1, 2, 3, 4, 5], [7], [200, 100]]
    lively(model, rng)
    want = [uncached(model, prompt, 8) for prompt in prompts]
    decoder = Decoder(model, batch=3, compiled=False, page=4)
    got = [found.ids for found in expect.value("generate(decoder, prompts, 8, temperature=0)")]
    expect.equal("got", want, got=got)


# ---------------------------------------------------------------- accept

P = np.log([0.05, 0.5, 0.25, 0.2])  # what the large model says
Q = np.array([0.6, 0.1, 0.05, 0.25])  # what the draft says
DRAWS = 5000


@exercise("accept")
@pytest.mark.parametrize(
    ("proposed", "want"), [([], (0, 2)), ([2], (1, 0)), ([2, 0], (2, 1)), ([2, 0, 1], (3, 3))]
)
def test_greedy_and_right(rng, proposed, want):
    logits = np.eye(4)[[2, 0, 1, 3]][: len(proposed) + 1]
    expect.equal("accept(proposed, [], logits, GREEDY, rng)", want, rng=rng)


@exercise("accept")
@pytest.mark.parametrize(
    ("proposed", "want"), [([1, 0, 1], (0, 2)), ([2, 1, 1], (1, 0)), ([2, 0, 3], (2, 1)), ([3, 3, 3], (0, 2))]
)
def test_greedy_and_wrong(rng, proposed, want):
    logits = np.eye(4)[[2, 0, 1, 3]]
    before = rng.bit_generator.state
    expect.equal("accept(proposed, [], logits, GREEDY, rng)", want, rng=rng)
    same = rng.bit_generator.state == before
    expect.true("same", "where the likeliest token is taken, no random number is", same=same)


@exercise("accept")
def test_what_the_large_model_never_says_goes(rng):
    logits = np.array([[0.0, -np.inf, 0.0, -np.inf]] * 3)
    q = np.array([0.25, 0.25, 0.25, 0.25])
    for _ in range(20):
        count, token = expect.value("accept([1, 0], [q, q], logits, Sampling(), rng)", rng=rng)
        expect.equal("count", 0, count=count)
        expect.true(
            "token in (0, 2)", "what replaces it is a token that the large model may say", token=token
        )


@exercise("accept")
def test_what_both_say_alike_stays(rng):
    logits = np.array([[1.0, 2.0, 0.5], [0.0, 1.0, -1.0], [3.0, 0.0, 0.0]])
    drafts = [shares(row) for row in logits[:2]]
    for proposed in ([1, 1], [0, 2], [2, 0]):
        for _ in range(20):
            count = expect.value(
                "accept(proposed, drafts, logits, Sampling(), rng)", rng=rng, proposed=proposed
            )[0]
            expect.equal("count", 2, count=count, proposed=proposed)


@exercise("accept")
def test_what_the_large_model_says_more_often_stays(rng):
    logits, drafts = np.array([P, P]), [Q]
    for token in (1, 2):
        for _ in range(30):
            count = expect.value("accept([token], drafts, logits, Sampling(), rng)[0]", rng=rng, token=token)
            expect.equal("count", 1, count=count, token=token)


@exercise("accept")
@pytest.mark.parametrize("token", [0, 3])
def test_others_stay_with_the_ratio_of_both(rng, token):
    logits, drafts = np.array([P, P]), [Q]
    call = "[accept([token], drafts, logits, Sampling(), rng) for _ in range(DRAWS)]"
    found = expect.value(call, rng=rng)
    counts = np.bincount([count for count, _ in found], minlength=2)
    stays = np.exp(P[token]) / Q[token]
    what = (
        f"of {np.exp(P[token]):.2f} here and {Q[token]:.2f} in the draft, it stays {stays:.0%} of the times"
    )
    expect.true("as_often(counts, [1 - stays, stays])", what, counts=counts, stays=stays)
    instead = np.bincount([following for count, following in found if not count], minlength=4)
    rest = np.maximum(np.exp(P) - Q, 0)
    what = "what comes in its place comes as often as max(p - q, 0) says"
    expect.true("as_often(instead, rest / rest.sum())", what, instead=instead, rest=rest)


@exercise("accept")
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.5), Sampling(1.5, top_k=3), Sampling(top_p=0.7)])
def test_what_comes_out_is_what_the_large_model_alone_says(rng, sampling):
    logits, drafts = np.array([P, P[::-1]]), [Q]
    want = sampling.probabilities(P)
    tokens = rng.choice(4, size=DRAWS, p=Q).tolist()
    found = expect.value("[accept([token], drafts, logits, sampling, rng) for token in tokens]", rng=rng)
    first = [token if count else following for token, (count, following) in zip(tokens, found, strict=True)]
    counts = np.bincount(first, minlength=4)
    what = "the first token has the probabilities that the large model gives it"
    expect.true("as_often(counts, want)", what, counts=counts, want=want)


@exercise("accept")
def test_the_second_and_third_token_too(rng):
    rows = np.array([P, np.log([0.4, 0.1, 0.1, 0.4]), np.log([0.1, 0.7, 0.1, 0.1])])
    drafts = [np.array([0.1, 0.3, 0.3, 0.3]), np.array([0.05, 0.6, 0.3, 0.05])]
    tokens = np.array([rng.choice(4, size=2 * DRAWS, p=q) for q in drafts]).T.tolist()
    found = expect.value("[accept(two, drafts, rows, Sampling(), rng) for two in tokens]", rng=rng)
    pairs = list(zip(tokens, found, strict=True))
    second = [two[1] if count == 2 else following for two, (count, following) in pairs if count]
    third = [following for count, following in found if count == 2]
    second, third = (np.bincount(some, minlength=4) for some in (second, third))
    what = "the {} token, where there is one, has the probabilities of its row of logits"
    expect.true("as_often(second, shares(rows[1]))", what.format("second"), second=second)
    expect.true("as_often(third, shares(rows[2]))", what.format("third"), third=third)


@exercise("accept")
def test_without_a_proposal_it_is_a_draw(rng):
    logits = P[None]
    found = expect.value("[accept([], [], logits, Sampling(0.8), rng) for _ in range(DRAWS)]", rng=rng)
    counts = np.bincount([token for _, token in found], minlength=4)
    expect.true(
        "as_often(counts, shares(P, 0.8))", "the token has the probabilities of the row", counts=counts
    )
    stayed = [count for count, _ in found]
    expect.equal("stayed", [0] * DRAWS, stayed=stayed)


@exercise("accept")
def test_a_draft_changes_no_text_that_takes_the_likeliest(rng):
    model, draft = (lively(GPT(256, 40, 16, layers=1, heads=2), rng) for _ in range(2))
    want = uncached(model, [1, 2, 3], 10)
    large, small = (Decoder(m, compiled=False, page=4) for m in (model, draft))
    same = Decoder(model, compiled=False)
    for helper in (small, same):
        call = "generate(large, [1, 2, 3], 10, temperature=0, draft=helper, ahead=3).ids"
        expect.equal(call, want, large=large, helper=helper)
