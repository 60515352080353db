import pytest
import tensorflow as tf

from tf_sigma_vae import rows


@pytest.mark.parametrize("num_replicas", [1, 2, 3, 4])
@pytest.mark.parametrize("num_rows", [0, 1, 2, 7, 12])
def test_every_row_is_in_one_share_in_order_and_shares_are_equal_to_within_a_row(
    num_rows, num_replicas
):
    shares = [rows.share(num_rows, r, num_replicas) for r in range(num_replicas)]
    assert [i for first, end in shares for i in range(first, end)] == list(range(num_rows))
    sizes = [end - first for first, end in shares]
    assert max(sizes) - min(sizes) <= 1


def test_shares_of_a_tensor_are_those_of_the_number():
    first, end = rows.share(tf.constant(7, tf.int64), 1, 3)
    assert (int(first), int(end)) == rows.share(7, 1, 3)


def test_one_replica_compiles_once_for_all_batch_sizes():
    traced = []

    def double(x, factor):
        traced.append(x.shape)
        return factor * x

    signature = [tf.TensorSpec([None, 2]), tf.TensorSpec([])]
    compiled = rows.over_replicas(tf.distribute.get_strategy(), double, signature)
    for size in (3, 1):
        assert compiled(tf.ones([size, 2]), factor=tf.constant(2.0)).shape == (size, 2)
    assert len(traced) == 1
