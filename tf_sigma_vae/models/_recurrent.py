"""The recurrent parts of a sequence model: LSTMs in a stack, run over a clip or frame by frame."""

from typing import Any

import keras
import tensorflow as tf

State = tuple[tuple[tf.Tensor, ...], ...]
"""The output and the cell of each LSTM, `[B, units]`."""


@keras.saving.register_keras_serializable("tf_sigma_vae")
class StackedLstm(keras.layers.Layer):
    """Vectors over time `[B, T, F]` to outputs `[B, T, num_outputs]`; output t sees inputs to t.

    A linear layer, LSTMs one above the other, and a linear layer. Over a clip each LSTM runs in one
    loop, whose graph does not grow with T.

    Source: the recurrent parts of Denton & Fergus 2018.
    """

    def __init__(
        self, num_outputs: int, units: int = 256, num_layers: int = 1, **kwargs: Any
    ) -> None:
        """Builds the layer.

        Args:
          num_outputs: Size of the outputs.
          units: Of each LSTM, and of what goes into the first.
          num_layers: LSTMs.
          **kwargs: Of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.num_outputs, self.units, self.num_layers = num_outputs, units, num_layers
        policy = {"dtype": self.dtype_policy}
        self.entry = keras.layers.Dense(units, name="entry", **policy)
        self.loops = [
            keras.layers.RNN(
                keras.layers.LSTMCell(units, **policy),
                return_sequences=True,
                return_state=True,
                name=f"lstm_{index}",
                **policy,
            )
            for index in range(num_layers)
        ]
        self.exit = keras.layers.Dense(num_outputs, name="exit", **policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights."""
        self.entry.build((None, input_shape[-1]))
        for loop in self.loops:
            loop.build((None, None, self.units))
        self.exit.build((None, self.units))
        self.built = True

    def call(self, inputs: tf.Tensor, state: State | None = None) -> tuple[tf.Tensor, State]:
        """Runs over a clip.

        Args:
          inputs: `[B, T, F]`, T at least 1.
          state: Where to start, as `call` and `step` give it; from zeros by default.

        Returns:
          Outputs `[B, T, num_outputs]`, and the state after the last.
        """
        values = self.entry(inputs)
        after: list[tuple[tf.Tensor, ...]] = []
        for index, loop in enumerate(self.loops):
            before = None if state is None else list(state[index])
            values, *carried = loop(values, initial_state=before)
            after.append(tuple(carried))
        return self.exit(values), tuple(after)

    def start(self, batch_size: int | tf.Tensor) -> State:
        """The state before the first vector: zeros."""
        zeros = tf.zeros([batch_size, self.units], self.compute_dtype)
        return tuple((zeros, zeros) for _ in self.loops)

    def step(self, inputs: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """One frame: outputs `[B, num_outputs]` of inputs `[B, F]`, and the next state."""
        values = self.entry(inputs)
        after: list[tuple[tf.Tensor, ...]] = []
        for loop, carried in zip(self.loops, state, strict=True):
            values, carried = loop.cell(values, list(carried))
            after.append(tuple(carried))
        return self.exit(values), tuple(after)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...], state: object = None
    ) -> tuple[tuple[int | None, ...], tuple[tuple[tuple[int | None, ...], ...], ...]]:
        """`(B, T, num_outputs)`, and the states."""
        pair = ((input_shape[0], self.units),) * 2
        return (*input_shape[:2], self.num_outputs), (pair,) * self.num_layers

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for `from_config`."""
        names = ("num_outputs", "units", "num_layers")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
