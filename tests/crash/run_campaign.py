"""`python tests/crash/run_campaign.py`: see `campaign`.

Processes that are forked run this file once more, so it imports nothing for them.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    tests = Path(__file__).parents[1]
    sys.path[:0] = [str(tests / "crash"), str(tests / "support")]

    from campaign import main

    main()
