#!/usr/bin/env bash
# A task of an array of LSF. With the environment activated that has dlrun, from your working directory, for the N
# tasks that `dlrun array prepare` made (bsub reads the lines below from its standard input, so mind the <):
#   MANIFEST=FILE bsub -J 'dlrun[1-N]' < scripts/clusters/lsf.sh
# A queue, cores or a GPU go before the <: -q gpu -n 4 -gpu num=1
# The same command again goes on with what is missing.
#BSUB -o lsf-%J-%I.log
#BSUB -n 1
#BSUB -R "span[hosts=1]"
#BSUB -W 1:00
# USR2 two minutes before the time is up; a job that then ends with 140 = 128 + USR2 goes back into the queue.
#BSUB -wa USR2
#BSUB -wt 2
#BSUB -Q 140
# Started again if its node dies.
#BSUB -r

# The signals reach this script, too: it must live until the runs have saved.
trap : USR2 TERM

dlrun array run "$MANIFEST"
