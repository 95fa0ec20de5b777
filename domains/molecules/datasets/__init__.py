"""The data sets of molecules, one file each, and what they share: cleaning, splits and files of SMILES."""
