"""Trains the slides' networks in Keras itself; run by an interpreter that has tensorflow.

    python reference.py IN.npz OUT.npz FLOAT OPTIMIZER ...

IN holds `images` (steps, N, H, W, C), `labels` (steps, N) and each network's first weights,
`<network>/<number>`. OUT gets, for each network and optimizer named, `<network>/<optimizer>/loss` (a number a step),
`.../logits` of the first batch afterwards, and the weights, `.../<number>`.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from keras.layers import BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D

NETWORKS = {
    "fc_64": lambda: [
        Flatten(),
        Dense(64, activation="relu"),
        Dense(64, activation="relu"),
        Dense(10),
    ],
    "cnn_dropout": lambda: [
        Conv2D(32, (3, 3), activation="relu"),
        Conv2D(64, (3, 3), activation="relu"),
        MaxPooling2D(2, 2),
        Flatten(),
        Dense(128, activation="relu"),
        Dense(10),
    ],
    "cnn_batchnorm": lambda: [
        Conv2D(32, (3, 3), activation="relu"),
        BatchNormalization(),
        Conv2D(64, (3, 3), activation="relu"),
        MaxPooling2D(2, 2),
        BatchNormalization(),
        Flatten(),
        Dense(128, activation="relu"),
        BatchNormalization(),
        Dense(10),
    ],
    "asl_cnn": lambda: [
        Conv2D(75, (3, 3), strides=1, padding="same", activation="relu"),
        BatchNormalization(),
        MaxPooling2D((2, 2), strides=2, padding="same"),
        Conv2D(50, (3, 3), strides=1, padding="same", activation="relu"),
        BatchNormalization(),
        MaxPooling2D((2, 2), strides=2, padding="same"),
        Conv2D(25, (3, 3), strides=1, padding="same", activation="relu"),
        BatchNormalization(),
        MaxPooling2D((2, 2), strides=2, padding="same"),
        Flatten(),
        Dense(512, activation="relu"),
        Dense(10),
    ],
    "penalised": lambda: [
        Conv2D(4, (3, 3), activation="relu", kernel_regularizer=keras.regularizers.L2(0.03125)),
        Flatten(),
        Dense(20, activation="relu"),
        Dense(10, kernel_regularizer=keras.regularizers.L2(0.0078125)),
    ],
    # Odd totals of padding, other activations.
    "uneven": lambda: [
        Conv2D(12, (4, 3), strides=2, padding="same", activation="sigmoid"),
        MaxPooling2D((3, 3), strides=2, padding="same"),
        Conv2D(8, (2, 2), padding="same", activation="leaky_relu"),
        MaxPooling2D((2, 2), strides=1, padding="same"),
        Flatten(),
        Dense(20, activation="elu"),
        Dense(10),
    ],
}

# Keras rounds momentum and betas to float32 even in float64; "_exact" has numbers that float32 holds exactly.
EXACT = {"beta_1": 0.875, "beta_2": 1 - 2**-10}
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "sgd_exact": lambda: keras.optimizers.SGD(0.01, momentum=0.875),
    "nesterov": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "nesterov_exact": lambda: keras.optimizers.SGD(0.01, momentum=0.875, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(),
    "adam_exact": lambda: keras.optimizers.Adam(**EXACT),
    "adamw_exact": lambda: keras.optimizers.AdamW(0.001, weight_decay=2**-6, **EXACT),
    "rmsprop": lambda: keras.optimizers.RMSprop(),
    "rmsprop_momentum": lambda: keras.optimizers.RMSprop(momentum=0.9),
    "adadelta": lambda: keras.optimizers.Adadelta(1.0, rho=0.9, epsilon=1e-6),
    "nadam_exact": lambda: keras.optimizers.Nadam(**EXACT),
    "adamax_exact": lambda: keras.optimizers.Adamax(**EXACT),
    "adagrad_exact": lambda: keras.optimizers.Adagrad(0.01, initial_accumulator_value=0.125),
}


def train(model, optimizer, images, labels):
    """The losses of one step a batch."""
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses = []
    for pictures, wanted in zip(images, labels, strict=True):
        with tf.GradientTape() as tape:
            loss = cross_entropy(wanted, model(pictures, training=True))
            whole = tf.add_n([loss, *model.losses])
        gradients = tape.gradient(whole, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        losses.append(float(loss))
    return losses


def main(given, result, floats, *chosen):
    """Read `given`, train every network with the chosen optimizers, write `result`."""
    keras.backend.set_floatx(floats)
    given = np.load(given)
    images, labels = given["images"].astype(floats), given["labels"]
    found = {}
    for network, layers in NETWORKS.items():
        count = sum(name.startswith(f"{network}/") for name in given.files)
        weights = [given[f"{network}/{number}"] for number in range(count)]
        for name in chosen:
            model = keras.Sequential([keras.Input(images.shape[2:]), *layers()])
            model.set_weights(weights)
            found[f"{network}/{name}/loss"] = train(model, OPTIMIZERS[name](), images, labels)
            found[f"{network}/{name}/logits"] = model(images[0], training=False).numpy()
            for number, weight in enumerate(model.get_weights()):
                found[f"{network}/{name}/{number}"] = weight
    np.savez(result, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
