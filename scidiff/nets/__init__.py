"""Networks: they know torch and spaces, nothing of processes or domains."""
