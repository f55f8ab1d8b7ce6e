"""Would a test notice? One careless change at a time, in a copy, against the nearest tests.

`make mutants PACKAGE=simlib`, or `python -m tests.mutants --help`. Our own small runner: mutmut
replaces functions by trampolines, which numba cannot compile and worker processes never see;
cosmic-ray runs one command for every mutant and spends most of them on operators nobody mistypes.
"""
