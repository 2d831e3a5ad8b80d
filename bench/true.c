/* true: the smallest process for the benchmarks. */
int main(void)
{
	return 0;
}
