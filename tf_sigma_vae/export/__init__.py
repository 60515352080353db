"""Models outside of Python: exports for TensorFlow Serving, and a client for its servers."""
