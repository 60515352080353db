import itertools

import numpy as np
import pytest

from tf_sigma_vae import data

N, BATCH, STEPS = 11, 4, 3


@pytest.fixture
def x():
    """Images `[11, 3, 2, 1]` whose pixels name them: image i is filled with 20 i + place."""
    return (20 * np.arange(N)[:, None] + np.arange(6)).astype(np.uint8).reshape(N, 3, 2, 1)


def take(dataset, count):
    return [batch.numpy() for batch in itertools.islice(dataset, count)]


def joined(of_shards, shards, num_steps):
    """The global batches that the elements of all shards make up, in the order of the replicas."""
    batches = []
    for step in range(num_steps):
        parts = []
        for elements, shard in zip(of_shards, shards, strict=True):
            parts += elements[step * shard.num_local : (step + 1) * shard.num_local]
        batches.append(np.concatenate(parts))
    return batches


# Three workers of one replica, which share four images unevenly; and two workers of two, more than
# the last batch has images, so that one replica gets none.
SHARDS = {
    "three": [data.Shard(i, 1, 3) for i in range(3)],
    "two_of_two": [data.Shard(0, 2, 4), data.Shard(2, 2, 4)],
}


@pytest.mark.parametrize("shards", SHARDS.values(), ids=SHARDS)
def test_the_shards_of_training_make_up_the_batches_of_one_device(x, shards):
    options = {"global_batch_size": BATCH, "seed": 5, "start_step": 2}
    options |= {"flip": True, "dequantize": True}
    num_steps = 2 * STEPS
    whole = take(data.training_batches(x, **options), num_steps)
    parts = [
        take(data.training_batches(x, shard=s, **options), num_steps * s.num_local) for s in shards
    ]
    for one, several in zip(whole, joined(parts, shards, num_steps), strict=True):
        assert one.tobytes() == several.tobytes()


def test_the_shards_of_evaluation_hold_every_image_once_in_order(x):
    shards = SHARDS["two_of_two"]
    options = {"global_batch_size": BATCH, "dequantize": True, "seed": 3}
    whole = take(data.evaluation_batches(x, **options), STEPS)
    parts = [list(data.evaluation_batches(x, shard=s, **options)) for s in shards]
    assert [len(p) for p in parts] == [STEPS * s.num_local for s in shards]
    several = joined([[e.numpy() for e in p] for p in parts], shards, STEPS)
    assert np.concatenate(whole).tobytes() == np.concatenate(several).tobytes()


def test_a_replica_reads_its_own_rows_alone(x):
    of_batches = take(data.training_batches(x, global_batch_size=BATCH, seed=5), STEPS)
    own = data.training_batches(x, global_batch_size=BATCH, seed=5, shard=data.Shard(1, 1, 2))
    for batch, part in zip(of_batches, take(own, STEPS), strict=True):
        assert part.tobytes() == batch[len(batch) // 2 :].tobytes()


def test_dropping_the_remainder_leaves_equal_batches_and_other_images_out_each_epoch(x):
    batches = data.training_batches(x, global_batch_size=BATCH, seed=5, drop_remainder=True)
    assert batches.element_spec.shape == (BATCH, 3, 2, 1)
    found = [set((np.round(255 * b[:, 0, 0, 0])).astype(int) // 20) for b in take(batches, 6)]
    epochs = [set.union(*found[i : i + 2]) for i in range(0, 6, 2)]
    assert [len(e) for e in epochs] == [2 * BATCH] * 3
    assert len({frozenset(set(range(N)) - e) for e in epochs}) == 3


def test_dropping_the_remainder_of_less_than_a_batch_is_refused(x):
    with pytest.raises(ValueError, match="drop_remainder leaves nothing: 11 examples are no full"):
        data.training_batches(x, global_batch_size=12, seed=0, drop_remainder=True)


def test_shapes_are_static_where_every_share_has_the_same_size(x):
    def batch_size(batch, shard, **options):
        batches = data.training_batches(x, global_batch_size=batch, seed=0, shard=shard, **options)
        return batches.element_spec.shape[0]

    two = data.Shard(0, 1, 2)
    assert batch_size(4, two, drop_remainder=True) == 2
    assert batch_size(4, two) is None
    assert batch_size(3, two, drop_remainder=True) is None
    assert batch_size(11, data.Shard()) == 11
