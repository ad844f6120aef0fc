import os
import sys

print("report of", sys.argv[-1], "for", os.environ["STAGE"])
