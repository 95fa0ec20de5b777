"""Analysis of models and samplers."""
