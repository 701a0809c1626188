"""The museum: known ways to cheat a benchmark, why each would work, and what stands against it.

Each exhibit is mounted for real by the test of its name in tests/museum: it scores invalid, and succeeds
where its defence is taken away.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exhibit:
    """An attack: its name, what it is in some sentences, and the defence that catches it."""

    name: str
    title: str
    story: str
    defence: str


EXHIBITS: tuple[Exhibit, ...] = (
    Exhibit(
        "answer_table",
        "The answers in the weights",
        "The program knows a number for each image of the test set and the label that belongs to it; "
        "any other image goes to a model that hardly works. On the test data it is perfect. Moved by "
        "a pixel, the same images have other numbers.",
        "Everything is scored a second time under small random changes, drawn after the entry was "
        "hashed; who loses far more by them than the baseline knows the test data by heart.",
    ),
    Exhibit(
        "replayed_output",
        "The last answer again",
        "A program with a state keeps what it answered last and gives it out again. Timed on one "
        "input over and over, it has nothing to compute.",
        "Entries keep no state: a program that updates one is refused before it runs. And inputs are "
        "new ones.",
    ),
    Exhibit(
        "drawn_output",
        "Answers out of a hat",
        "A program that draws random numbers can be run until a lucky draw passes.",
        "Entries draw nothing: equal inputs must give equal outputs.",
    ),
    Exhibit(
        "nan_wildcard",
        "NaN as a wild card",
        "Where an accuracy is found by comparing, NaN can win all comparisons or none. Some scorers "
        "count what they cannot compare as right.",
        "Every output is looked at: one that is not finite makes the entry invalid.",
    ),
    Exhibit(
        "infinite_loss",
        "Infinitely sure",
        "Logits of infinity put all probability on one answer, and a careless scorer turns inf - inf "
        "into something that passes.",
        "Every output is looked at: one that is not finite makes the entry invalid.",
    ),
    Exhibit(
        "no_output",
        "Nothing to compute",
        "An output without elements costs nothing, is finite everywhere, and its mean error is that "
        "of no sample.",
        "The program's output must be of the event's shape and dtype, before it runs.",
    ),
    Exhibit(
        "other_shape",
        "Half the classes",
        "A program with fewer outputs has less to compute; a scorer that compares what there is "
        "notices nothing.",
        "The program's output must be of the event's shape and dtype, before it runs.",
    ),
    Exhibit(
        "second_output",
        "One output more",
        "A second output can carry work or tables past a scorer that reads the first one.",
        "A program has the inputs and outputs of its event, and no others.",
    ),
    Exhibit(
        "work_at_load",
        "The work done while loading",
        "What rests on weights alone is computed once, when a program is prepared. Work that is moved "
        "there does not show on the clock of a query.",
        "Preparing counts in the work that a program may ask for, and loading has a limit of its own.",
    ),
    Exhibit(
        "flops_bomb",
        "Work without end",
        "A small file can name a chain of products that runs for days and blocks the queue for everybody.",
        "The work of a run is added up from shapes before anything runs, and has a limit.",
    ),
    Exhibit(
        "huge_shape",
        "A terabyte on paper",
        "A file of some hundred bytes declares a tensor that no machine has memory for.",
        "The memory of a run is added up from shapes before anything is allocated, and has a limit.",
    ),
    Exhibit(
        "decompression_bomb",
        "A bomb in a small parcel",
        "A compact file promises to unpack to many times the memory of the machine.",
        "The sizes that a file promises are added up and compared with a limit before anything is unpacked.",
    ),
    Exhibit(
        "swollen_part",
        "More inside than it says",
        "A part of a compact file unpacks to more than its index says, to get past the limit on promises.",
        "No decoder gives more than its part may have, and a part of another size is refused.",
    ),
    Exhibit(
        "path_in_name",
        "A file of somebody else",
        "The description names ../../somewhere as its program, so that the runner reads, or shows, "
        "what the entrant could not.",
        "A program is a name without folders beside its description.",
    ),
    Exhibit(
        "link_and_pipe",
        "No ordinary file",
        "A link leads to another file, a pipe keeps the reader waiting for ever.",
        "Only ordinary files are opened, links are not followed, and nothing waits.",
    ),
    Exhibit(
        "twin_tensor",
        "Two tensors of one name",
        "A header names a tensor twice. One reader takes the first, another the second: what was "
        "checked is not what runs.",
        "A file has one form: the header follows from the program byte by byte, and anything else is "
        "refused.",
    ),
    Exhibit(
        "trailing_bytes",
        "Something behind the end",
        "Bytes behind the last tensor are read by nobody and change the hash, so that one program is "
        "many entries.",
        "A file ends behind its last tensor, and is known by the hash of its canonical form.",
    ),
    Exhibit(
        "other_spelling",
        "The same program, spelled otherwise",
        "Spaces, another order of keys or numbers written in another way make a new file of an old program.",
        "A program has one form, and a file in any other is refused.",
    ),
    Exhibit(
        "newer_format",
        "From the future",
        "A file says that it is of a newer format, in the hope that checks are skipped for what is unknown.",
        "A newer format is refused by its number.",
    ),
    Exhibit(
        "foreign_op",
        "An op that is code",
        "A call names an op such as os.system, or hides an expression among an op's fields.",
        "Ops come out of a closed list and their fields out of their classes; nothing in a file is "
        "run as code.",
    ),
    Exhibit(
        "loud_description",
        "A description that acts",
        "Control characters move a terminal's cursor, marks of direction turn text around, and tags "
        "become part of a page.",
        "Names and descriptions are single lines of printable characters, and pages escape everything.",
    ),
    Exhibit(
        "empty_boast",
        "Only in words",
        "The description says int8, 90 % sparse, distilled. Earlier benchmarks believed it.",
        "Techniques are found in the program itself; what leaves no trace is shown as declared.",
    ),
    Exhibit(
        "late_swap",
        "Another file behind the check",
        "After the file was checked and hashed, and before it is run, it is replaced by another.",
        "A file is read once; what is checked, hashed and run are the same bytes in a folder of the "
        "runner's own.",
    ),
    Exhibit(
        "bent_clock",
        "The clock runs slowly",
        "In the process that starts the benchmark, the clock is replaced by one that runs at half the speed.",
        "Times are taken in processes of their own, which load nothing of the caller's.",
    ),
    Exhibit(
        "patched_runtime",
        "The runtime answers by itself",
        "In the process that starts the benchmark, the function that runs programs is replaced by one "
        "that returns at once.",
        "Programs run in processes of their own, from the files of the package, whose hash stands in "
        "the result.",
    ),
    Exhibit(
        "poisoned_environment",
        "Code by way of the environment",
        "PYTHONPATH, a start-up file or a library to preload bring code into every process that "
        "Python starts, and a folder of compiled programs holds others than it says.",
        "Boxes start without the caller's environment, start-up files and caches.",
    ),
    Exhibit(
        "recipe_with_code",
        "More than a recipe",
        "A closed entry brings a program along, or its steps name files, unknown kinds, and more "
        "training than others had.",
        "Steps come out of a closed list with checked parameters, and training has a limit.",
    ),
    Exhibit(
        "tampered_result",
        "The figures afterwards",
        "A figure in a stored result is changed, or the last result, a rival's record, is deleted.",
        "Results form a chain of hashes that the organiser signs, with a signed head, and one noted "
        "elsewhere.",
    ),
    Exhibit(
        "lucky_record",
        "Submitting until luck strikes",
        "Twenty copies of the record's program differ by noise. One of them will be the fastest ever "
        "measured.",
        "A record needs a paired re-run at 1 %, which is spent over all attempts of a team.",
    ),
    Exhibit(
        "probed_labels",
        "Asking for the labels",
        "Each submission flips one answer; whether the accuracy rose tells a label. After enough of "
        "them the test set is known.",
        "What is learnt so is an answer table, which loses under changed data; all attempts stand in "
        "a team's history.",
    ),
)


def exhibit(name: str) -> Exhibit:
    """The exhibit of that name.

    >>> exhibit("nan_wildcard").title
    'NaN as a wild card'
    """
    return next(one for one in EXHIBITS if one.name == name)
