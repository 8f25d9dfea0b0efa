"""One module a verb; each has `main(arguments) -> exit status`. `train` is what no verb at all means."""

VERBS = {
    "reproduce": "TABLE: run the missing rows of a published table, then compare",
    "report": "PATH …: leaderboard, comparison, figures and page from what is on disk",
    "list": "WORD …: the runs there are, the newest first; --tag, --since, --json",
    "watch": "FOLDER …: the runs that go on there, drawn anew until Ctrl-C",
    "resume": "RUN: go on with a run, or extend it (epochs=…)",
    "show": "RUN: what a run was and how it went",
    "evaluate": "RUN: test a finished run again",
    "predict": "RUN IMAGE …: classify pictures",
    "compare": "A B: two runs or groups of seeds: what differs, how much better one is, on which pictures",
    "export": "RUN: write an ONNX or torch.export file",
    "data": "list | fetch | verify | show: the data sets",
    "clean": "PATH …: delete failed runs, previous checkpoints of finished runs, caches; says what and asks",
    "records": "pack | merge | show: results as lines of text, to commit, mail and merge",
    "table": "new | check: a table file from a printed table, and what it still lacks",
    "plan": "-m OVERRIDE … | TABLE: what would run, and how long it would take",
    "slurm": "submit | status | collect | cancel: Slurm, without waiting",
    "array": "prepare | run: the runs of a sweep or a table as an array of jobs, on any scheduler",
    "doctor": "device, versions, data, Slurm: what works here",
    "completion": "bash: completion of verbs and overrides with the Tab key",
}
