"""The command of events: event."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from .outcome import Outcome, add_live, add_network, command


def add_event_command(add: Any) -> None:
    """Add this command to the command line."""
    sub = command(add, "event", event_command, data=False)
    sub.add_argument("sources", nargs="*", metavar="SOURCE",
                     help="folder of photos, photo, video, camera's number, or address of its stream (rtsp://…); or of "
                          "files (s3://…, https://…/)")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="a second run with this goes on")
    sub.add_argument("--shard", metavar="K/N", help="only the K-th of N parts of the photos and videos, without a "
                                                    "report; --merge makes that")
    sub.add_argument("--merge", type=Path, nargs="+", metavar="DIR",
                     help="instead of SOURCE: put shards together; DIR is what their --out was, or one shard's folder")
    sub.add_argument("--cluster", metavar="ADDRESS", help="let the workers of a Dask scheduler look at them, as "
                                                          "tcp://10.0.0.1:8786; or local:4, four processes here")
    sub.add_argument("--shards", type=int, metavar="N", help="with --cluster: in so many parts; default: eight for "
                                                             "each worker")
    sub.add_argument("--every", type=float, metavar="S",
                     help="look at videos and cameras every so many seconds; default: 0.1; who is seen on fewer than "
                          "three looks is not counted")
    sub.add_argument("--threads", type=int, metavar="N", help="look at so many pictures at a time; default: one for "
                                                              "each core, with --cluster one for each worker")
    sub.add_argument("--faces", action="store_true", help="put face pictures into the report, blurred")
    sub.add_argument("--no-blur", dest="blur", action="store_false", help="do not blur them")
    add_network(sub)
    add_live(sub, "stop a camera after so long; default: when Ctrl-C is pressed")
    sub.set_defaults(model=None, detector=None, unsure=None)  # `collect_event` and `report_event` know what then counts


def event_command(args: Namespace) -> Outcome:
    """Report how the people on photos and videos of an event looked."""
    from ..event import merging, report

    if not args.blur and not args.faces:
        raise ValueError("--no-blur goes with --faces")
    if bool(args.sources) == bool(args.merge):
        raise ValueError("name either SOURCE… to look at, or --merge DIR… to put shards together")
    collecting = _given(args, "model", "detector", "every", "seconds", "threads")
    reporting = _given(args, "unsure") | ({"faces": True, "blur": args.blur} if args.faces else {})
    if args.shards is not None and args.cluster is None:
        raise ValueError("--shards goes with --cluster")
    if args.shard is not None:
        return _shard(args, collecting, reporting)
    if args.cluster is not None:
        result = _on_cluster(args, collecting, reporting)
    elif args.merge:
        _refuse(collecting, "--merge does not look at pictures: leave it out")
        result = merging.merge_event(args.merge, args.out, **reporting)
    else:
        result = report.run_event(args.sources, args.out, progress=not args.json, **collecting, **reporting)
    nothing = result["errors"] and not any(result[kind] for kind in ("photos", "videos", "cameras"))
    return Outcome(result, report.report_text(result), bool(nothing))


def _on_cluster(args: Namespace, collecting: dict[str, Any], reporting: dict[str, Any]) -> dict[str, Any]:
    """Let a cluster look at an event."""
    from ..errors import need

    need("distributed")
    from ..event import cluster

    if args.merge:
        raise ValueError("--cluster looks at SOURCE…, --merge puts parts together: leave one of them out")
    _refuse(_given(args, "seconds"), "it stops a camera, and --cluster takes photos and videos only: leave it out")
    where = cluster.Cluster(args.cluster, args.shards, collecting.pop("threads", 1))
    return cluster.cluster_event(args.sources, args.out, where, progress=not args.json, **collecting, **reporting)


def _shard(args: Namespace, collecting: dict[str, Any], reporting: dict[str, Any]) -> Outcome:
    """Collect one part of an event, without a report."""
    from ..event import collect, sharding

    if args.merge or args.cluster is not None:
        other = "--merge puts parts together" if args.merge else "--cluster makes all of them"
        raise ValueError(f"--shard makes a part, {other}: leave one of them out")
    _refuse(reporting, "--shard writes no report: give it with --merge")
    _refuse(_given(args, "seconds"), "it stops a camera, and --shard takes photos and videos only: leave it out")
    shard = sharding.Shard.parse(args.shard)
    done = collect.collect_event(args.sources, args.out, progress=not args.json, shard=shard, **collecting)
    folder = str(shard.folder(args.out))
    parts = f"parts of videos {done['parts']:,}, " if "parts" in done else ""
    lines = [f"{shard} is done: photos {done['photos']:,}, videos {done['videos']:,}, {parts}"
             f"rows of faces {done['faces']:,}"]
    if done["errors"]:
        lines.append(f"{done['errors']:,} could not be read in full, see errors.csv; the same command tries them again")
    return Outcome({"out": folder, "shard": shard.number, "of": shard.count, **done}, "\n".join([*lines, folder]),
                   bool(done["errors"] and not any(done.get(kind) for kind in ("photos", "videos", "parts"))))


def _given(args: Namespace, *names: str) -> dict[str, Any]:
    """Return these options as far as they were given."""
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _refuse(options: dict[str, Any], why: str) -> None:
    for name in options:
        raise ValueError(f"--{name}: {why}")
