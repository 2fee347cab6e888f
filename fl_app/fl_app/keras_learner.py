"""Keras's models on TensorFlow. Importing this imports both."""

import math
import os
from pathlib import Path
from typing import Any

# For those who have set Keras to another one in ~/.keras; warnings are heard, what TensorFlow says of itself is not.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

import keras
import numpy as np
import tensorflow as tf
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from fl_app import host
from fl_app.arrays import of_another_model
from fl_app.datasets import DataSet
from fl_app.device_data import Split
from fl_app.keras_models import build_model
from fl_app.learner import (
    Learner,
    Score,
    batches,
    evaluation_batch,
    no_batch_of_one,
    not_finite,
    weights_not_finite,
)
from fl_app.models import side_of
from fl_app.optimizers import KERAS_OPTIMIZERS
from fl_app.settings import Config

_crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")


class KerasLearner(Learner):
    """A Keras model, all of which is trained and travels, and its optimizer."""

    def __init__(self, config: Config, entry: DataSet, folder: Path | None, *, whole: bool) -> None:
        """Build the model, with random weights by the seed."""
        tf.config.threading.set_intra_op_parallelism_threads(host.threads())
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()
        self.config, self.entry = config, entry
        self.side = side_of(config, entry)
        self.mean, self.std = (tf.constant(values, tf.float32) for values in (entry.mean, entry.std))
        self.model = build_model(config.model, entry.channels, self.side, len(entry.classes), config.seed)
        # Any number of images: a last batch that is smaller is not traced again.
        self.batch = (
            tf.TensorSpec((None, entry.side, entry.side, entry.channels), tf.uint8),
            tf.TensorSpec((None,), tf.int64),
        )
        self.score = tf.function(self._score, self.batch)

    def sizes(self) -> tuple[int, int]:
        """Return the number of the trained parameters, which are all; statistics of batches are none."""
        count = sum(math.prod(variable.shape) for variable in self.model.trainable_variables)
        return count, count

    def arrays(self) -> ArrayRecord:
        """Return all arrays, by their paths in the model."""
        return ArrayRecord({variable.path: Array(variable.numpy()) for variable in self.model.variables})

    def take(self, record: ArrayRecord, where: str) -> None:
        """Load ``record``, which came from ``where``."""
        shapes = {variable.path: tuple(variable.shape) for variable in self.model.variables}
        given = {name: tuple(array.shape) for name, array in record.items()}
        if different := sorted(name for name in shapes.keys() | given.keys() if shapes.get(name) != given.get(name)):
            raise of_another_model(where, f"they differ in {', '.join(different)}")
        for variable in self.model.variables:
            array = record[variable.path].numpy()
            # Server optimisers and privacy noise treat it as a weight and may push a variance below zero.
            variable.assign(np.maximum(array, 0) if variable.path.endswith("moving_variance") else array)

    def staying(self) -> dict[str, NDArray[np.generic]]:
        """Return no arrays: none is frozen."""
        return {}

    def fingerprint(self) -> str:
        """Return the hash of none."""
        return ""

    def check_frozen(self, wanted: str) -> None:
        """Find nothing wrong: the server has frozen none either."""

    def get_ready(self) -> None:
        """Make the optimizer, and trace a step, which takes longer than many steps."""
        normalises = any(isinstance(layer, keras.layers.BatchNormalization) for layer in self.model.layers)
        if normalises and self.config.batch_size == 1:
            raise no_batch_of_one(self.config)
        self.optimizer = KERAS_OPTIMIZERS[self.config.optimizer](self.config.lr, self.config.momentum)
        self.optimizer.build(self.model.trainable_variables)
        self.step = tf.function(self._step)
        self.step.get_concrete_function(*self.batch, [], tf.TensorSpec((), tf.float32))

    def train(self, data: Split, seed: int, proximal_mu: float = 0.0) -> Score:
        """Train the model in place."""
        rng, images = np.random.default_rng(seed), _channels_last(data.images)
        start = [tf.identity(variable) for variable in self.model.trainable_variables] if proximal_mu else []
        mu, total, right = tf.constant(proximal_mu, tf.float32), 0.0, 0
        for epoch in range(1, self.config.epochs + 1):
            summed = []
            for batch in batches(rng.permutation(len(data)), self.config.batch_size):
                loss, hits = self.step(tf.constant(images[batch]), tf.constant(data.labels[batch]), start, mu)
                summed.append(loss)
                right += hits
            total += float(tf.add_n(summed))
            if not math.isfinite(total):
                raise not_finite(total, epoch, self.config)
        if not all(np.isfinite(variable.numpy()).all() for variable in self.model.trainable_variables):
            raise weights_not_finite(self.config)
        seen = self.config.epochs * len(data)
        return Score(total / seen, int(right) / seen, len(data))

    def evaluate(self, data: Split) -> Score:
        """Evaluate the model."""
        images, loss, right = _channels_last(data.images), 0.0, 0
        for batch in batches(np.arange(len(data)), evaluation_batch(self.side)):
            summed, hits = self.score(tf.constant(images[batch]), tf.constant(data.labels[batch]))
            loss, right = loss + float(summed), right + int(hits)
        return Score(loss / len(data), right / len(data), len(data))

    def _score(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Return a batch's summed cross-entropy and the number of right answers."""
        logits = self.model(self._inputs(images), training=False)
        return _crossentropy(labels, logits), _hits(labels, logits)

    def _step(self, images: Any, labels: Any, start: list[Any], mu: Any) -> tuple[Any, Any]:
        """Make a step on a batch and return the same of it."""
        with tf.GradientTape() as tape:
            logits = self.model(self._inputs(images), training=True)
            summed = _crossentropy(labels, logits)
            loss = summed / tf.cast(tf.size(labels), tf.float32)
            if start:
                pairs = zip(self.model.trainable_variables, start, strict=True)
                loss += mu / 2 * tf.add_n([tf.reduce_sum(tf.square(now - then)) for now, then in pairs])
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return summed, _hits(labels, logits)

    def _inputs(self, images: Any) -> Any:
        """Return uint8 images as float32 with mean 0 and deviation 1 a channel, in the size that the model sees."""
        pixels = tf.cast(images, tf.float32)
        if self.side != self.entry.side:
            pixels = tf.image.resize(pixels, (self.side, self.side))
        return (pixels / 255 - self.mean) / self.std


def _hits(labels: Any, logits: Any) -> Any:
    return tf.math.count_nonzero(tf.argmax(logits, 1) == labels)


def _channels_last(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the layout that TensorFlow's layers take on a CPU."""
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))
