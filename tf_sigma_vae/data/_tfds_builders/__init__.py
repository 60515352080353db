"""TensorFlow Datasets builders for sets that TensorFlow Datasets does not have."""
