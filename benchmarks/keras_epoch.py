"""The slides' networks in Keras, trained an epoch at a time for every line on standard input (see epoch.py)."""

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

layers = tf.keras.layers


def network(name: str, classes: int) -> tf.keras.Model:
    """The network as the slides write it."""
    if name.startswith("fc_"):
        width = int(name[3:])
        body = [layers.Flatten(), layers.Dense(width, activation="relu"), layers.Dense(width, activation="relu")]
    elif name == "cnn_dropout":
        body = [layers.Conv2D(32, 3, activation="relu"), layers.Conv2D(64, 3, activation="relu")]
        body += [layers.MaxPooling2D(2, 2), layers.Dropout(0.25), layers.Flatten()]
        body += [layers.Dense(128, activation="relu"), layers.Dropout(0.5)]
    else:
        pool = {"pool_size": 2, "strides": 2, "padding": "same"}
        body = [layers.Conv2D(75, 3, padding="same", activation="relu"), layers.BatchNormalization()]
        body += [layers.MaxPooling2D(**pool), layers.Conv2D(50, 3, padding="same", activation="relu")]
        body += [layers.Dropout(0.2), layers.BatchNormalization(), layers.MaxPooling2D(**pool)]
        body += [layers.Conv2D(25, 3, padding="same", activation="relu"), layers.BatchNormalization()]
        body += [
            layers.MaxPooling2D(**pool),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.3),
        ]
    return tf.keras.Sequential([tf.keras.Input((28, 28, 1)), *body, layers.Dense(classes, activation="softmax")])


def optimizer(name: str) -> tf.keras.optimizers.Optimizer:
    """The optimizer of the slide."""
    if name == "cnn_dropout":
        return tf.keras.optimizers.SGD(learning_rate=0.01, momentum=0.9)
    return tf.keras.optimizers.RMSprop() if name == "asl_cnn" else tf.keras.optimizers.Adam()


def main() -> None:
    """Arguments: network, .npz with the data, threads, batch size, device (not used)."""
    name, file, threads, batch_size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    data = np.load(file)
    train, test = (data[key].astype("float32") / 255 for key in ("train", "test"))
    model = network(name, int(data["train_labels"].max()) + 1)
    model.compile(optimizer=optimizer(name), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    evaluated = (test, data["test_labels"])
    for _ in sys.stdin:
        started = time.perf_counter()
        model.fit(train, data["train_labels"], batch_size=batch_size, epochs=1, verbose=0, validation_data=evaluated)
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
