"""With TensorFlow Recommenders: the sampled softmax as a task, trained towers in its layers of retrieval.

TensorFlow Recommenders is built on Keras 2: the environment variable ``TF_USE_LEGACY_KERAS=1`` must be set
before TensorFlow is imported. Keras 3, on its TensorFlow backend, works in the same process.
"""

try:
    import keras
    import tensorflow_recommenders
except ModuleNotFoundError as error:
    raise ImportError(
        f"recsys_ssl.tfrs needs {error.name}: pip install 'sparselabels[recsys,tfrs]'", name=error.name
    ) from error
except ImportError as error:
    # TensorFlow Recommenders refuses a tf.keras that is Keras 3.
    raise ImportError(
        "recsys_ssl.tfrs needs Keras 2 under TensorFlow: set the environment variable TF_USE_LEGACY_KERAS=1 "
        "before the process starts, or before tensorflow and keras are imported"
    ) from error
if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"recsys_ssl.tfrs needs Keras on TensorFlow; got the backend {keras.backend.backend()!r}: set the "
        "environment variable KERAS_BACKEND=tensorflow (models that other backends have saved load there)"
    )

from recsys_ssl.tfrs.sampled_softmax_task import SampledSoftmaxTask
from recsys_ssl.tfrs.serving import QueryTower, UserVectors, brute_force_layer, scann_layer, streaming_layer

del keras, tensorflow_recommenders

__all__ = [
    "QueryTower",
    "SampledSoftmaxTask",
    "UserVectors",
    "brute_force_layer",
    "scann_layer",
    "streaming_layer",
]
