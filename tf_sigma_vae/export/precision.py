"""A model as it is served: in float32, whatever it was trained in."""

import keras


def in_float32(model: keras.Model) -> keras.Model:
    """The model itself, or one of the same weights that computes in float32.

    The weights of mixed precision are float32; what is computed from them has 8 bits (bfloat16) or
    11 (float16), of which the last ones are another machine's choice: an answer differs by some
    1e-3 of its size from one processor to the next. A served answer should not.
    """
    if model.compute_dtype == "float32":
        return model
    copy = type(model).from_config({**model.get_config(), "dtype": "float32"})
    copy.set_weights(model.get_weights())
    return copy
