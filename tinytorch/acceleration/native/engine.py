"""From LLVM instructions to functions that Python calls: optimise, make an object file, load it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import binding as llvm
from llvmlite import ir

from tinytorch.acceleration.native import blas
from tinytorch.acceleration.native.values import I64, POINTER

ARRAY_DATA = 16
"""Where NumPy's array object keeps the address of its data, in bytes: behind count and type of the object."""


@cache
def _started() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name in ("Py_IncRef", "PyEval_SaveThread", "PyEval_RestoreThread"):
        address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
        llvm.add_symbol(name, address)
    llvm.add_symbol("tinytorch_yield", _yield_address())


def _yield_address() -> int:
    """The function by which a thread lets others have the processor."""
    if sys.platform == "win32":
        function = ctypes.WinDLL("kernel32").SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


def processor() -> str:
    """The name and the features of this machine's CPU, for which code is made."""
    features = llvm.get_host_cpu_features()
    return f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {features.flatten()}"


def _machine() -> Any:
    # each engine needs a target machine of its own: a shared one crashes
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )


def object_file(module: Any) -> bytes:
    """The machine code of a module for this machine, after LLVM's passes, as an object file."""
    _started()
    module.triple = llvm.get_process_triple()
    machine = _machine()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    # kernels are written with vectors, and unrolled where it helps: looking for more took half of the time
    options.slp_vectorization = options.loop_vectorization = options.loop_unrolling = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    return bytes(machine.emit_object(parsed))


class Code:
    """An object file in memory, and its functions."""

    def __init__(self, content: bytes) -> None:
        _started()
        if blas.wanted_by(content):
            blas.register()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
        self._engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(content))
        self._engine.finalize_object()
        self._definitions: list[Any] = []

    def address(self, name: str) -> int:
        """Where a function lies."""
        return int(self._engine.get_function_address(name))

    def function(self, name: str) -> Callable[..., object]:
        """A function made by `entry`, as a Python function of arrays.

        It checks nothing: arrays must be such as the code was made for.
        """
        definition = _MethodDefinition(name.encode(), self.address(name), _FASTCALL, None)
        self._definitions.append(definition)  # Python keeps its address
        # bound to this object, so that the code stays in memory for as long as a thread may be in it
        found: Callable[..., object] = _new_function(ctypes.byref(definition), self, None)
        return found


_FASTCALL = 0x80


class _MethodDefinition(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("text", ctypes.c_char_p),
    ]


_new_function = ctypes.pythonapi.PyCFunction_NewEx
_new_function.restype = ctypes.py_object
_new_function.argtypes = [ctypes.POINTER(_MethodDefinition), ctypes.py_object, ctypes.c_void_p]


def entry(
    module: Any, name: str, arrays: int, *, release: bool = False
) -> tuple[Any, list[Any], Callable[[], None]]:
    """Begin a function that Python calls with `arrays` arrays: a builder, their addresses, and how to end it.

    The interpreter passes arguments as a C array of object pointers; from each array object its data address
    is read, which costs some nanoseconds where NumPy's own interfaces take microseconds. With `release` other
    Python threads run meanwhile.
    """
    kind = ir.FunctionType(POINTER, [POINTER, POINTER, I64])
    function = ir.Function(module, kind, name)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    itself, arguments, _ = function.args
    addresses = []
    for i in range(arrays):
        place = builder.gep(arguments, [I64(i)], source_etype=POINTER)
        array = builder.load(place, typ=POINTER)
        data = builder.gep(array, [I64(ARRAY_DATA)], source_etype=ir.IntType(8))
        addresses.append(builder.load(data, typ=POINTER))
    saved = None
    if release:
        save = declared(module, "PyEval_SaveThread", POINTER)
        saved = builder.call(save, [])

    def end() -> None:
        if saved is not None:
            restore = declared(module, "PyEval_RestoreThread", ir.VoidType(), POINTER)
            builder.call(restore, [saved])
        count = declared(module, "Py_IncRef", ir.VoidType(), POINTER)
        builder.call(count, [itself])  # what the function is bound to is what it returns
        builder.ret(itself)

    return builder, addresses, end


def declared(module: Any, name: str, result: Any, *arguments: Any) -> Any:
    """A function of the module by name, such as one of LLVM's or of the interpreter."""
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, arguments), name)
