#!/usr/bin/env bash
# A task of an array of PBS Pro, OpenPBS or Torque. With the environment activated that has dlrun, from your working
# directory, for the N tasks of the FILE that `dlrun array prepare` wrote (they count from 0, so the last one is N-1):
#   qsub -J 0-LAST -v MANIFEST=FILE scripts/clusters/pbs.sh      PBS Pro, OpenPBS (two tasks or more)
#   qsub -t 0-LAST -v MANIFEST=FILE scripts/clusters/pbs.sh      Torque
# A queue, cores or a GPU go before the script: -q gpu -l select=1:ncpus=4:ngpus=1 (Torque: -l nodes=1:ppn=4:gpus=1)
# The same command again goes on with what is missing.
#PBS -N dlrun
#PBS -j oe
#PBS -l walltime=1:00:00
# All variables, so that dlrun is found. -r y: started again if its node dies.
#PBS -V
#PBS -r y

# The signals reach this script, too: it must live until the runs have saved.
trap : USR2 TERM

# Jobs begin in the home folder, with a login shell, whose profile may have set another PATH than that of the submission.
cd "$PBS_O_WORKDIR" || exit 2
PATH="$PBS_O_PATH:$PATH"

# PBS may kill seconds after it has said that the time is up: two minutes before, `timeout` lets the runs save.
timeout --preserve-status --signal=USR2 58m dlrun array run "$MANIFEST"
