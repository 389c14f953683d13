"""One runner for tables of work cells: drawn first, computed second, committed cell by cell.

A `table.Job` names a cell function and lists its cells; `runner.run_job` computes the missing ones on a local pool, in
this process or on a Dask cluster, and commits each to the SQLite journal of the job's folder; `journal.read_outcomes`
gives the results back in the order of the table. `watch.FolderWatch` tells which cases have arrived in a folder.
Training sets, studies and batches all stand on these.
"""
