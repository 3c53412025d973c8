"""From trained networks and faces to numbers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "before_after": ["change_text", "measure_change"],
    "evaluate": ["evaluate_run", "write_submission"],
    "gradcam": ["grad_cam"],
    "groups": ["audit_groups"],
    "suspicious": ["confident_learning", "out_of_fold", "suspicious_table"],
    "robustness": ["detection_table", "robustness_table"],
    "tables": ["results_table", "seed_table"],
})
