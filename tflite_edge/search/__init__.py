"""Many pipelines: a space of recipes, an Optuna study of it, Dask workers, and the Pareto front of what they made."""
