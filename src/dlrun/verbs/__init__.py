"""One module a verb; each has `main(arguments) -> exit status`. `train` is what no verb at all means."""

VERBS = {
    "reproduce": "TABLE: run what a published table lacks, then compare",
    "report": "PATH …: leaderboard, comparison and page from what is there",
    "list": "WORD …: the runs there are, the newest first",
    "watch": "FOLDER …: the runs that go on there, drawn anew",
    "resume": "RUN: go on with a run, or extend it (epochs=…)",
    "show": "RUN: what a run was and how it went",
    "evaluate": "RUN: test a finished run again",
    "predict": "RUN IMAGE …: classify pictures",
    "compare": "A B: two runs or groups of seeds: how much better one is",
    "export": "RUN: write an ONNX or torch.export file",
    "data": "list | fetch | verify | show: the data sets",
    "clean": "PATH …: delete failed runs, old checkpoints, caches; asks",
    "records": "pack | merge | show: results as lines of text, to commit",
    "table": "new | check: a table file from a printed table",
    "plan": "-m OVERRIDE … | TABLE: what would run, and how long",
    "slurm": "submit | status | collect | cancel: Slurm, without waiting",
    "array": "prepare | run: runs as an array of jobs, on any scheduler",
    "doctor": "device, versions, data, Slurm: what works here",
    "completion": "bash: completion with the Tab key",
}
