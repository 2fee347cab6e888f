"""The models that Keras has too, one entry each; the table imports no TensorFlow.

Every builder takes the images' channels, their side in pixels and the number of classes, and returns a Keras model
that maps a float batch of shape (batch, side, side, channels) to logits of shape (batch, classes).
"""

from typing import Any

from fl_app.models import cannot_be_built


def _net(channels: int, side: int, classes: int) -> Any:
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((side, side, channels)),
            layers.Conv2D(6, 5, activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, activation="relu", name="conv2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, activation="relu", name="fc1"),
            layers.Dense(84, activation="relu", name="fc2"),
            layers.Dense(classes, name="fc3"),
        ],
        name="net",
    )


def _mnist_cnn(channels: int, side: int, classes: int) -> Any:
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((side, side, channels)),
            layers.Conv2D(8, 3, activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, activation="relu", name="conv2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(classes, name="classifier"),
        ],
        name="mnist_cnn",
    )


def _mobilenet_v2(channels: int, side: int, classes: int) -> Any:
    from keras import applications, layers

    model = applications.MobileNetV2((side, side, channels), weights=None, classes=classes, classifier_activation=None)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            # As PyTorch's. With Keras's own 0.999 the statistics of a short run stay those of the first weights, and
            # the model that is evaluated guesses.
            layer.momentum = 0.9
    return model


# By the names of `fl_app.models`, whose models they are.
MODELS = {"net": _net, "mnist_cnn": _mnist_cnn, "mobilenet_v2": _mobilenet_v2}


def build_model(name: str, channels: int, side: int, classes: int, seed: int) -> Any:
    """Return the model ``name``, with weights that depend on ``seed`` alone.

    Raises `AppError` where it cannot be built for such images.
    """
    from keras import utils

    utils.set_random_seed(seed)
    try:
        return MODELS[name](channels, side, classes)
    except ValueError as error:
        raise cannot_be_built(name, channels, side, error) from error
