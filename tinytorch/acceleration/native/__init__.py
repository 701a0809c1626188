"""Native code: kernels as Python functions that emit LLVM instructions, and what is around them."""
