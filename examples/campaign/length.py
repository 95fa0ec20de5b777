"""A score by a program: SMILES on standard input, one number a line on standard output."""

import sys

for line in sys.stdin:
    print(len(line.strip()))
