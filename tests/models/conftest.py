import warnings

import pytest
import tensorflow as tf


@pytest.fixture
def untraced():
    """Runs what would be a graph eagerly: for graphs that are called once, tracing takes longer."""
    # TensorFlow warns that functions of `tf.data` stay graphs. Pytest resets filters after a test.
    warnings.filterwarnings("ignore", "Even though the `tf.config", UserWarning)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
