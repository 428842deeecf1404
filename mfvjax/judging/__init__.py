"""Judges: second networks, of any kind, that say what the pictures of a run show.

Nothing was optimized for a judge, so that its scores do not flatter. Each stands beside what
chance, the untouched start and real images score.
"""

from mfvjax.judging.classes import ClassMatch as ClassMatch
from mfvjax.judging.classes import match_class as match_class
from mfvjax.judging.judge import check_judge as check_judge
from mfvjax.judging.judge import judge_run as judge_run
from mfvjax.judging.judge import judged as judged
from mfvjax.judging.judge import open_judge as open_judge
from mfvjax.judging.judge import with_judgement as with_judgement
from mfvjax.judging.stored import is_judged as is_judged
from mfvjax.judging.stored import judge_folder as judge_folder
