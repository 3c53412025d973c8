"""For many people, later: an event's table and its report."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "cluster": ["Cluster", "cluster_event"],
    "collect": ["collect_event"],
    "merging": ["merge_event"],
    "people": ["participants", "summarise"],
    "report": ["LIMITS", "REPORT", "report_event", "run_event", "write_report"],
    "sharding": ["Shard"],
    "shares": ["check_correction", "known_confusion"],
})
