"""What every other package stands on: messages, checks of arguments, memory, the native library and CUDA.

May import nothing of eventops but itself.
Begin with ``native.py`` (how the library is loaded) and ``arguments.py`` (how input is checked).
"""
