"""Write a finished run as one file for other programs: uint8 pictures in, probabilities out.

    dlrun export RUN                         RUN/model.onnx, for ONNX Runtime
    dlrun export RUN --format pt2            RUN/model.pt2, for torch.export.load

Preparation of the pictures and the names of the classes are inside; batches may be of any size. The file is
compared with the network before it gets its name.
"""

import argparse
from pathlib import Path

from dlrun.output import near, say
from dlrun.verbs.loaded import FIELDS, add_run, fields, load
from dlrun.verbs.parser import Parser

FORMATS = ("onnx", "pt2")


def main(arguments: list[str]) -> int:
    """Run `dlrun export`; returns 0."""
    options = _parser().parse_intermixed_args(arguments)
    run = load(options, fields(options.fields, FIELDS))
    from dlrun.runs.exporting import export

    path = options.output or options.run / f"model.{options.format}"
    difference = export(run, options.format, path)
    shape = "x".join(map(str, run.inputs.shape))
    say(f"images uint8 Nx{shape} -> probabilities float32 Nx{len(run.inputs.classes)}")
    say(f"differs from the network by at most {difference:.0e}, {run.weights}")
    print(near(path))
    return 0


def _parser() -> Parser:
    parser = Parser(prog="dlrun export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run(parser)
    parser.add_argument("fields", nargs="*", default=(), metavar="FIELD=VALUE", help=", ".join(FIELDS))
    parser.add_argument("--format", choices=FORMATS, default="onnx", help="onnx (default) or pt2")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write (default: into RUN)")
    return parser
