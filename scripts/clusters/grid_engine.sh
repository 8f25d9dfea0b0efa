#!/usr/bin/env bash
# A task of an array of Grid Engine (Sun, Son of, Univa, Altair). With the environment activated that has dlrun, from
# your working directory, for the N tasks of the FILE that `dlrun array prepare` wrote:
#   qsub -t 1-N scripts/clusters/grid_engine.sh FILE
# A queue, cores or a GPU, which every site names its own way, go before the script: -q gpu.q -pe smp 4 -l gpu=1
# The same command again goes on with what is missing.
#$ -S /bin/bash
#$ -N dlrun
#$ -cwd
#$ -V
#$ -j y
# USR1 two minutes before the time is up; -notify: USR2 before a job is killed, as by qdel.
#$ -l s_rt=0:58:00,h_rt=1:00:00
#$ -notify
# Started again if its node dies.
#$ -r y

# The signals reach this script, too: it must live until the runs have saved.
trap : USR1 USR2 TERM

# The job's shell is a login shell, whose profile may have set another PATH than that of the submission.
PATH="$SGE_O_PATH:$PATH"

dlrun array run "$@"
status=$?

# 138 = 128 + USR1: stopped and saved. Grid Engine puts a job that ends with 99 back into the queue.
if [ "$status" -eq 138 ]; then exit 99; fi
exit "$status"
