"""From a `FaceSet` to a trained network and its card."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "augment": ["AUGMENTATIONS", "Augmentation", "augment_faces"],
    "backend": ["import_keras"],
    "card": ["Card"],
    "devices": ["spread_over"],
    "export": ["export_onnx"],
    "own_faces": ["prepare_own_faces", "train_on"],
    "recipes": ["TrainConfig"],
    "runs": ["network_file", "predict_probabilities", "run_folder", "trained_cards"],
    "spec": ["FaceSpec", "face_to_tensor", "one_hot"],
    "zoo": ["NETWORKS", "multiply_adds", "network"],
})
