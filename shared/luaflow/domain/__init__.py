"""Pure rules of the engine: no input, no output, standard library (and orjson) only."""
