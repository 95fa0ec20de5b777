"""Joint model of coefficient and solution of Darcy flow in a binary medium, and what it is compared with."""
