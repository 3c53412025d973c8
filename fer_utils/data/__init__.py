"""From bytes on disk to a `FaceSet` and its parts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "copies": ["blank_faces", "conflicting_groups", "duplicate_table", "exact_copies", "near_duplicates",
               "seen_in_training"],
    "faceset": ["FaceSet"],
    "ferplus": ["download_ferplus", "ferplus_agreement", "ferplus_labels", "find_ferplus", "read_ferplus",
                "vote_shares", "with_votes"],
    "split": ["leak_count", "memoriser_accuracy", "report_part"],
    "drawn": ["draw_face", "draw_faces"],
    "drawn_people": ["draw_people"],
    "grouped": ["divide_groups"],
    "left_out": ["kept_faces"],
})
