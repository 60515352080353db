import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tf_sigma_vae import noise

# Known answers published with Random123 (threefry2x32, 20 rounds): counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]
NUM_DRAWS = 40_000
# Of some twenty means: those of correct noise leave the interval in less than 1e-6 runs.
NUM_STANDARD_ERRORS = 5.7
# Of a Kolmogorov-Smirnov test, of which four are made.
SMALLEST_P_VALUE = 2e-7
# The last bits of log and cos differ between kernels, and between the vector loop and its tail.
KERNEL_TOLERANCE = 2e-6


def _words(pair):
    return tuple(tf.constant([word], tf.uint32) for word in pair)


def _examples(num, shape=(4, 3, 2), seed=0):
    return np.random.default_rng(seed).uniform(size=(num, *shape)).astype(np.float32)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_threefry_gives_the_published_answers(counter, key, expected):
    result = noise.threefry2x32(_words(key), _words(counter))
    assert tuple(int(word[0]) for word in result) == expected


def test_example_ids_depend_on_every_element_and_its_place():
    x = _examples(1)[0]
    variants = [x]
    for index in np.ndindex(x.shape):
        changed = x.copy()
        changed[index] = np.nextafter(changed[index], np.float32(2.0))
        variants.append(changed)
    variants += [x[::-1], x[:, ::-1], x[..., ::-1], np.zeros_like(x), np.ones_like(x)]
    ids = {tuple(row) for row in noise.example_ids(tf.constant(np.stack(variants))).numpy()}
    assert len(ids) == len(variants)


def test_example_ids_of_many_binary_images_do_not_collide():
    x = np.unpackbits(np.arange(4096, dtype=">u2").view(np.uint8).reshape(-1, 2), axis=1)
    ids = noise.example_ids(tf.constant(x, tf.float32)).numpy()
    assert len(np.unique(ids, axis=0)) == 4096


def test_noise_of_an_example_does_not_depend_on_its_batch():
    x = _examples(7)
    all_ids = noise.fold(noise.example_ids(tf.constant(x)), 3, 11)
    uniform, normal = noise.uniform(all_ids, [5]).numpy(), noise.normal(all_ids, [5]).numpy()
    for rows in (np.random.default_rng(1).permutation(7), [2, 3, 4], [6]):
        ids = noise.fold(noise.example_ids(tf.constant(x[rows])), 3, 11)
        np.testing.assert_array_equal(ids.numpy(), all_ids.numpy()[rows])
        # Of integers, exactly.
        np.testing.assert_array_equal(noise.uniform(ids, [5]).numpy(), uniform[rows])
        np.testing.assert_allclose(noise.normal(ids, [5]), normal[rows], atol=KERNEL_TOLERANCE)


@pytest.mark.parametrize("other", [(3, 12), (4, 11), (11, 3), (3, 11 + 2**31)])
def test_other_seed_or_step_gives_other_noise(other):
    ids = noise.example_ids(tf.constant(_examples(6)))
    first = noise.normal(noise.fold(ids, 3, 11), [50]).numpy()
    second = noise.normal(noise.fold(ids, *other), [50]).numpy()
    assert np.mean(first == second) < 0.01
    correlation = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert abs(correlation) < NUM_STANDARD_ERRORS / np.sqrt(first.size)


def test_step_may_be_a_tensor():
    ids = noise.example_ids(tf.constant(_examples(2)))
    by_tensor = noise.fold(ids, 3, tf.constant(11, tf.int64))
    np.testing.assert_array_equal(by_tensor.numpy(), noise.fold(ids, 3, 11).numpy())


@pytest.mark.parametrize("draw", [noise.normal, noise.uniform])
def test_first_numbers_of_a_row_do_not_depend_on_how_many_are_drawn(draw):
    ids = noise.row_ids(3, seed=5)
    long = draw(ids, [9]).numpy()
    for size in (1, 2, 5, 8):
        np.testing.assert_allclose(draw(ids, [size]).numpy(), long[:, :size], atol=KERNEL_TOLERANCE)


def test_first_row_ids_do_not_depend_on_how_many_are_asked():
    np.testing.assert_array_equal(noise.row_ids(3, 7).numpy(), noise.row_ids(8, 7).numpy()[:3])
    assert not np.any(noise.row_ids(8, 7).numpy() == noise.row_ids(8, 8).numpy())


def test_shape_is_rows_by_event_in_row_major_order():
    ids = noise.row_ids(3, seed=5)
    flat, shaped = noise.normal(ids, [15]).numpy(), noise.normal(ids, [3, 5]).numpy()
    assert shaped.shape == (3, 3, 5)
    np.testing.assert_allclose(shaped.reshape(3, 15), flat, atol=KERNEL_TOLERANCE)


@pytest.mark.parametrize("shape", [(NUM_DRAWS, 1), (4, NUM_DRAWS // 4), (200, NUM_DRAWS // 200)])
def test_normal_noise_is_standard_normal_across_rows_and_columns(shape):
    draws = noise.normal(noise.row_ids(shape[0], seed=20), [shape[1]]).numpy().ravel()
    # Moments of a standard normal: E z^p, and the variance of z^p that gives the standard error.
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        error = np.mean(draws.astype(np.float64) ** power) - expected
        assert abs(error) < NUM_STANDARD_ERRORS * np.sqrt(variance / draws.size)
    assert scipy.stats.kstest(draws, "norm").pvalue > SMALLEST_P_VALUE


def test_uniform_noise_is_uniform_and_open():
    draws = noise.uniform(noise.row_ids(400, seed=2), [100]).numpy().ravel()
    assert 0.0 < draws.min() and draws.max() < 1.0
    assert scipy.stats.kstest(draws, "uniform").pvalue > SMALLEST_P_VALUE


def test_neighbouring_columns_rows_and_steps_are_uncorrelated():
    ids = noise.example_ids(tf.constant(_examples(200)))
    now = noise.normal(noise.fold(ids, 0, 1), [200]).numpy()
    later = noise.normal(noise.fold(ids, 0, 2), [200]).numpy()
    # Pairs without a number in common, so that their products are independent.
    columns, next_but_one = (now[:, ::2], now[:, 1::2]), (now[:, ::4], now[:, 2::4])
    for a, b in (columns, next_but_one, (now[::2], now[1::2])):
        assert abs(np.mean(a * b)) < NUM_STANDARD_ERRORS / np.sqrt(a.size)
        assert abs(np.mean(a**2 * b**2) - 1.0) < NUM_STANDARD_ERRORS * np.sqrt(8.0 / a.size)
    assert abs(np.mean(now * later)) < NUM_STANDARD_ERRORS / np.sqrt(now.size)


@pytest.mark.parametrize("jit", [False, True])
def test_compiled_noise_equals_eager_noise(jit):
    x = tf.constant(_examples(6))

    @tf.function(jit_compile=jit)
    def draws(x, step):
        ids = noise.fold(noise.example_ids(x), 9, step)
        return ids, noise.uniform(ids, [7]), noise.normal(ids, [7])

    ids, uniform, normal = draws(x, tf.constant(4))
    expected = noise.fold(noise.example_ids(x), 9, 4)
    np.testing.assert_array_equal(ids.numpy(), expected.numpy())
    np.testing.assert_array_equal(uniform.numpy(), noise.uniform(expected, [7]).numpy())
    np.testing.assert_allclose(normal, noise.normal(expected, [7]), atol=KERNEL_TOLERANCE)


def test_ids_work_with_unknown_batch_size():
    @tf.function(input_signature=[tf.TensorSpec([None, 4, 3, 2])])
    def draws(x):
        return noise.normal(noise.example_ids(x), [3])

    x = tf.constant(_examples(5))
    expected = noise.normal(noise.example_ids(x), [3])
    np.testing.assert_allclose(draws(x), expected, atol=KERNEL_TOLERANCE)
    assert draws(x[:0]).shape == (0, 3)


def test_both_words_of_the_ids_of_binary_images_are_spread():
    images = np.random.default_rng(0).integers(0, 2, (2000, 4, 6, 1)).astype(np.float32)
    ids = noise.example_ids(images).numpy()
    distinct_images = len(np.unique(images.reshape(2000, -1), axis=0))
    for word in ids.T:
        # Of 2,000 uniform 32-bit words two pairs are equal with probability 1e-7.
        assert len(np.unique(word)) >= distinct_images - 1


def test_ids_are_the_same_where_the_size_is_unknown_to_the_graph():
    x = np.random.default_rng(0).uniform(size=(3, 5, 4, 2)).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 4, 2])])
    def of_any_length(x):
        return noise.example_ids(x)

    np.testing.assert_array_equal(of_any_length(x), noise.example_ids(tf.constant(x)))
