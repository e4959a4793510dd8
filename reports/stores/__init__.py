"""Keep the results of many hosts in one place: a folder of Parquet files, or a PostgreSQL server.

Runs' directories stay the truth: a store holds sealed runs only, each whole, and can be made anew from the directories.
What is read from a store gives the answers that the directories give.

Errors::

    ResultsError            what is asked for is wrong, or a run differs from what is stored (exit code 2)
    StoreLost               the server or the share cannot be reached, or went away (exit code 4)
"""
