import keras
import pytest


@pytest.fixture(scope="module")
def eager():
    """Spare the tracing of a graph, which takes longer than these few steps; test_backends.py compiles."""
    trainer = next(kind for kind in keras.Model.__mro__ if "compile" in vars(kind))
    compile_ = trainer.compile

    def eagerly(self, *args, **kwargs):
        compile_(self, *args, **{**kwargs, "run_eagerly": True, "jit_compile": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "compile", eagerly)
        yield
