"""`python tests/crash/run_campaign.py`: see `campaign`.

Processes that are forked run this file once more, so it imports nothing for them.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

    from campaign import main

    main()
